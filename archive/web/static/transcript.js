// The lines of a transcript beside the player: which one is being said, and the way to the next.

export function follow(audio, place, moveTo) {
  const list = document.querySelector("[data-transcript]");
  if (!list) return { step: () => false };
  const lines = [...list.querySelectorAll("[data-start]")];
  const start = (line) => Number(line.dataset.start);
  let current = null;

  function show() {
    const at = place() + 0.05;
    const line = lines.findLast((each) => start(each) <= at && at < Number(each.dataset.end) + 0.1) ?? null;
    if (line === current) return;
    current?.removeAttribute("aria-current");
    line?.setAttribute("aria-current", "true");
    current = line;
    // Its own list alone is scrolled, never the page under its reader.
    if (line && !list.matches(":hover, :focus-within")) list.scrollTop = line.offsetTop - list.clientHeight / 2;
  }

  function step(by) { // to the beginning of the next line, or of this one and then of those before
    const at = place();
    const line = by > 0 ? lines.find((each) => start(each) > at + 0.1) : lines.findLast((each) => start(each) < at - 0.5);
    if (line) moveTo(start(line));
    show();
    return true;
  }

  for (const name of ["timeupdate", "seeking"]) audio.addEventListener(name, show);
  list.addEventListener("click", () => setTimeout(show));
  return { step };
}
