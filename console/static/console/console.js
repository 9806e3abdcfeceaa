// Comforts only: every page and every form works without this file.
"use strict";

// A link to a confirmation page opens that page's dialog instead.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-dialog]");
  const dialog = link && document.getElementById(link.dataset.dialog);
  if (!dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  dialog.showModal();
});

// "Cancel" in a dialog closes it; on the confirmation page it is a plain link back.
document.addEventListener("click", (event) => {
  const dialog = event.target.closest("[data-close]")?.closest("dialog");
  if (!dialog) return;
  event.preventDefault();
  dialog.close();
});

// Swapping a part would close a dialog that stands in it: wait for its answer.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.querySelector("dialog[open]")) event.preventDefault();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  const icon = button.querySelector("use");
  icon.setAttribute("href", "#i-check");
  setTimeout(() => icon.setAttribute("href", "#i-copy"), 1500);
});

// The end of a log is what matters, also after a swap.
const showTails = () => {
  for (const log of document.querySelectorAll("[data-tail]")) log.scrollTop = log.scrollHeight;
};
document.addEventListener("htmx:afterSwap", showTails);
showTails();

// On a narrow screen the navigation scrolls: begin at the current entry.
document.querySelector(".topbar [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "true";
});
window.addEventListener("pageshow", () => {
  for (const form of document.forms) delete form.dataset.sent;
});
