/* Recovery codes as a file or on paper. Without scripts they can be read and printed all the same. */
(() => {
  "use strict";
  const codes = () => [...document.querySelectorAll("[data-codes] code")].map((code) => code.textContent).join("\n") + "\n";
  for (const button of document.querySelectorAll("[data-save-codes]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([codes()], { type: "text/plain" }));
      link.download = button.dataset.saveCodes;
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => print());
  }
})();
