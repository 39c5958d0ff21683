/* Single keys. An element says which key is its own: data-key="1", data-key="Enter". A field or a select gets the focus,
   a radio button is chosen, anything else is clicked. All keys rest while somebody types, while an input method composes,
   on repeats, with modifiers and while a dialog is open. */
(() => {
  "use strict";
  const BUTTONS = new Set(["checkbox", "radio", "button", "submit", "reset", "file", "image", "range", "color"]);

  function typing(element) {
    if (!(element instanceof HTMLElement)) return false;
    if (element.isContentEditable || element instanceof HTMLTextAreaElement || element instanceof HTMLSelectElement) return true;
    return element instanceof HTMLInputElement && !BUTTONS.has(element.type);
  }

  function composing(event) {
    return event.isComposing || event.keyCode === 229;
  }

  /** Whether a key belongs to the page and not to a field, an input method or the browser. */
  function free(event) {
    return !event.defaultPrevented && !event.repeat && !composing(event) && !event.ctrlKey && !event.metaKey
      && !event.altKey && !typing(event.target) && !document.querySelector("dialog[open]");
  }

  function ownKey(element, key) {
    // Enter and Space press whatever has the focus; that must not be taken away from it.
    return (key === "Enter" || key === " ") && element.closest("a[href], button, summary, [role=button]") !== null;
  }

  function act(element) {
    if (element instanceof HTMLInputElement && element.type === "radio") {
      element.focus();
      element.click();
      return;
    }
    const field = element.matches("input, select, textarea")
      ? element
      : element.matches(".field") && element.querySelector("input, select, textarea");
    if (field) field.focus();
    else element.click();
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !composing(event) && typing(event.target)) {
      event.target.blur(); // a moderator without a mouse leaves the field, and the keys work again
      return;
    }
    if (!free(event) || ownKey(event.target, event.key)) return;
    if (event.key === "?") {
      event.preventDefault();
      document.getElementById("shortcuts")?.showModal();
      return;
    }
    if (event.key === "/") {
      const search = document.querySelector("[data-search], input[type=search]");
      if (search) {
        event.preventDefault();
        search.focus();
        search.select();
      }
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const owner = [...document.querySelectorAll("[data-key]")]
      .find((element) => element.dataset.key.toLowerCase() === key.toLowerCase() && !element.disabled && element.getClientRects().length);
    if (!owner) return;
    event.preventDefault();
    act(owner);
  });

  window.Mingjian = Object.assign(window.Mingjian || {}, { keyIsFree: free });
})();
