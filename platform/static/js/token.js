/* After signing in again in another tab, the forms of this page still hold the old token and would be refused with all
   that was typed into them. The cookie holds the new one. */
(() => {
  "use strict";
  const NAME = "csrfmiddlewaretoken";

  function renew() {
    const token = document.cookie.match(/(?:^|;\s*)(?:__Host-)?csrf=([A-Za-z0-9]+)/)?.[1];
    if (!token) return;
    for (const field of document.querySelectorAll(`input[name="${NAME}"]`)) field.value = token;
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": token }));
  }

  document.addEventListener("visibilitychange", renew);
  window.addEventListener("focus", renew);
  document.addEventListener("submit", renew, true);
})();
