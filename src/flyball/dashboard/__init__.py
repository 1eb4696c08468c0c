"""What a person wants to see: pages and their JSON. Acts only through registry, rollout and loop."""
