// While a package is being made, the list is fetched anew; the form below it is left alone.

const EVERY_MS = 1500;

async function refresh() {
  const list = document.querySelector("[data-refresh]");
  if (list?.dataset.refresh !== "yes") { return; }
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected || !answer.ok) { return; }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("[data-refresh]");
    if (fresh && !list.contains(document.activeElement)) { list.replaceWith(fresh); }
  } catch { /* away for a moment */ }
  setTimeout(refresh, EVERY_MS);
}

setTimeout(refresh, EVERY_MS);
