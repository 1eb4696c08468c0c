// Every 15 s, while somebody looks and no field is being filled in: the page as it is now. Without it the page is the same, only still.
setInterval(async () => {
  const busy = document.activeElement && document.activeElement.matches("input, select, button");
  if (document.hidden || busy || String(getSelection())) return;
  try {
    const answer = await fetch(location.href, { redirect: "error" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    const shown = document.querySelector("main");
    if (fresh && fresh.innerHTML !== shown.innerHTML && ![...shown.querySelectorAll("input")].some((field) => field.value)) {
      shown.replaceWith(fresh);
    }
  } catch {
    // The server is away; the next round asks again.
  }
}, 15000);
