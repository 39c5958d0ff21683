// Fills in what the ladder recommends when a severity is chosen. Whoever decides may change all of it; without this script
// the same recommendation stands in the table above the form.
(() => {
  "use strict";

  const form = document.querySelector("[data-measure-form]");
  if (!form) return;
  const severity = form.elements.namedItem("severity");
  if (!severity) return;

  severity.addEventListener("change", () => {
    const row = document.querySelector(`.ladder [data-severity="${CSS.escape(severity.value)}"]`);
    if (!row) return;
    form.elements.namedItem("kind").value = row.dataset.kind;
    form.elements.namedItem("ends_at").value = row.dataset.end;
    form.elements.namedItem("until_lifted").checked = false;
  });
})();
