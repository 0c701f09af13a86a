// Arrow keys in the month: one day on or back, one week up or down. Tab enters it and leaves it.

const table = document.querySelector("[data-calendar]");
const days = table ? [...table.querySelectorAll("td a")] : [];
const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };

function settle(on) {
  for (const day of days) day.tabIndex = day === on ? 0 : -1;
}

if (days.length) {
  settle(days.find((day) => day.hasAttribute("aria-current")) ?? days[0]);
  table.addEventListener("keydown", (event) => {
    const at = days.indexOf(event.target.closest("a"));
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const to = event.key === "Home" ? 0 : event.key === "End" ? days.length - 1 : at + (steps[event.key] ?? NaN);
    if (!(to >= 0 && to < days.length)) return;
    event.preventDefault();
    settle(days[to]);
    days[to].focus();
  });
}
