/* The verification desk: ready-made reasons fill the field, and what was shown in the clear is taken away again. */
(() => {
  "use strict";
  const reason = document.getElementById("decision-reason");
  const reject = document.querySelector('input[name="outcome"][value="reject"]');

  document.addEventListener("click", (event) => {
    const snippet = event.target instanceof Element ? event.target.closest("[data-fill]") : null;
    if (!snippet || !reason || !reject || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    reason.value = snippet.dataset.fill;
    reject.checked = true;
    reason.focus();
  });
  // They are links, so that they work without scripts; as buttons they must answer to the space bar too.
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || !(event.target instanceof Element) || !event.target.matches("[data-fill]")) return;
    event.preventDefault();
    event.target.click();
  });

  const note = document.querySelector("[data-hides]");
  if (!note) return;
  let gone = false;
  function hide() {
    if (gone) return;
    gone = true;
    for (const shown of document.querySelectorAll("[data-shown]")) {
      shown.textContent = "••••••";
      shown.removeAttribute("data-shown");
    }
    note.remove();
    document.querySelector("[data-hidden-note]")?.removeAttribute("hidden");
  }
  // A sleeping computer stops the timer, so the clock is looked at again when somebody comes back.
  const until = Date.now() + Number(note.dataset.hides) * 1000;
  setTimeout(hide, Number(note.dataset.hides) * 1000);
  document.addEventListener("visibilitychange", () => { if (Date.now() >= until) hide(); });
  window.addEventListener("pagehide", hide);
})();
