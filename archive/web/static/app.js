// Keys that every page knows, and their list under "?". Silent in text fields; can be switched off.

const dialog = document.getElementById("keys");
const wanted = document.getElementById("keys-on");

function keysAreOn() {
  try { return localStorage.getItem("keys") !== "off"; } catch { return true; }
}

export function isForPage(event) {
  // A single key pressed outside fields and dialogs, without a modifier that means something else.
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (!keysAreOn() || (dialog && dialog.open)) return false;
  const at = event.target;
  if (at.closest?.("textarea, select, [contenteditable]")) return false;
  return !(at.tagName === "INPUT" && !["range", "checkbox", "radio"].includes(at.type));
}

export function showKeys() {
  if (dialog && !dialog.open) dialog.showModal();
}

const follow = {
  n: () => document.querySelector("a[rel=next]")?.click(),
  p: () => document.querySelector(".walk a[rel=prev]")?.click(),
  "?": showKeys,
  "/": () => {
    const field = document.getElementById("contact") ?? document.querySelector("form.search input:not([type=hidden])");
    if (field) { field.focus(); field.select(); } else { document.querySelector(".top nav a")?.click(); }
  },
};

document.addEventListener("keydown", (event) => {
  if (!isForPage(event) || !(event.key in follow)) return;
  event.preventDefault();
  follow[event.key]();
});

if (wanted) {
  wanted.checked = keysAreOn();
  wanted.addEventListener("change", () => {
    try { localStorage.setItem("keys", wanted.checked ? "on" : "off"); } catch { /* not kept, then */ }
  });
}

document.querySelector("[data-keys]")?.addEventListener("click", showKeys);
document.querySelector(".rows a[aria-current]")?.scrollIntoView({ block: "nearest" });

// Copying a reference and printing a sheet. Where copying is refused, the text is marked instead.
document.querySelectorAll("[data-copy]").forEach((button) => {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = button.dataset.copied;
    } catch {
      getSelection().selectAllChildren(document.getElementById("reference"));
    }
  });
});
document.querySelectorAll("[data-print]").forEach((button) => button.addEventListener("click", () => window.print()));
