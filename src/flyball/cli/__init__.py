"""What a person types. Thin: parse, call, print; every verb's module is imported when the verb is called."""
