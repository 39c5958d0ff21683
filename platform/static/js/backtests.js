// A figure of a matrix leads to the items behind it: opens their list on the way.
(() => {
  "use strict";
  function open() {
    const group = document.getElementById(location.hash.slice(1));
    if (group instanceof HTMLDetailsElement) {
      group.open = true;
      group.scrollIntoView({ block: "start" });
    }
  }
  addEventListener("hashchange", open);
  open();
})();
