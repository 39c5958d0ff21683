/* Pictures at the desk: V or a click on one shows it clearly or veils it again. Without this file the checkbox above each
   does the same. Veiled is how every page begins. */
(() => {
  "use strict";
  const boxes = [...document.querySelectorAll("[data-unveil]")];
  if (!boxes.length) return;

  document.addEventListener("click", (event) => {
    const picture = event.target instanceof Element ? event.target.closest(".media-frame") : null;
    if (!picture) return;
    const box = picture.closest("[data-media]").querySelector("[data-unveil]");
    box.checked = !box.checked;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "v" || event.shiftKey || !window.Mingjian.keyIsFree(event)) return;
    const show = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = show;
    event.preventDefault();
  });
})();
