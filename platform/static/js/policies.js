// The editor of a policy works without this file. With it nobody leaves a changed draft by mistake.
(() => {
  "use strict";

  const editor = () => document.querySelector("[data-policy-editor]");
  let saving = false;
  const changed = () => editor()?.dataset.changed === "1";

  document.addEventListener("input", (event) => {
    if (event.target.closest?.("[data-policy-editor]")) editor().dataset.changed = "1";
  });
  document.addEventListener("submit", (event) => {
    if (event.target === editor()) saving = true;
  });
  window.addEventListener("pageshow", () => { saving = false; });
  window.addEventListener("beforeunload", (event) => {
    if (changed() && !saving) event.preventDefault();
  });
})();
