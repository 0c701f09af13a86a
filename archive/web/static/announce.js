// What a screen reader is to say of a page that has just come: a live region is read out when its
// words change, not when they were there from the beginning. Where nothing is to be said, nothing is.

const region = document.querySelector("[data-announce]");
const words = region?.dataset.announce.trim();
if (words) setTimeout(() => { region.textContent = words; }, 150);
