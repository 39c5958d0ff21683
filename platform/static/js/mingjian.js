/* What every page does by itself. All of it is comfort: forms and links work without this file. */
(() => {
  "use strict";
  const body = document.body;

  function announce(sentence) {
    const place = document.getElementById("alerts");
    if (!place || !sentence) return;
    for (const old of place.querySelectorAll("[data-by-script]")) old.remove();
    const notice = document.createElement("div");
    notice.className = "notice notice-error";
    notice.dataset.byScript = "";
    notice.setAttribute("role", "alert");
    const text = document.createElement("p");
    text.textContent = sentence;
    const close = document.createElement("button");
    close.type = "button";
    close.className = "notice-close";
    close.dataset.dismiss = "";
    close.setAttribute("aria-label", body.dataset.sayDismiss || "×");
    close.textContent = "×";
    notice.append(text, close);
    place.append(notice);
    notice.scrollIntoView({ block: "nearest" });
  }

  // Clicks: dismiss an alert, open a dialog, close a menu that was left.
  document.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target : null;
    if (!target) return;
    target.closest("[data-dismiss]")?.closest(".notice")?.remove();
    const opener = target.closest("[data-opens]");
    if (opener) {
      opener.closest("details.menu")?.removeAttribute("open");
      document.getElementById(opener.dataset.opens)?.showModal();
    }
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(target)) menu.removeAttribute("open");
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing) return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.removeAttribute("open");
      menu.querySelector("summary").focus();
    }
  });

  // <form data-confirm="question">: asked before anybody else, htmx too, sees the submit.
  const confirmed = new WeakSet();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const question = event.submitter?.dataset.confirm || form.dataset.confirm;
    const dialog = document.getElementById("confirm");
    if (!question || !dialog || confirmed.delete(form)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const { submitter } = event;
    dialog.querySelector("#confirm-text").textContent = question;
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => {
      if (dialog.returnValue !== "yes") return;
      confirmed.add(form);
      form.requestSubmit(submitter);
    }, { once: true });
    dialog.showModal();
  }, true);

  // One press, one submit. The button is disabled after the form has read its name and value.
  function rest(form) {
    form.dataset.sending = "";
    setTimeout(() => {
      for (const button of form.elements) {
        if (button.type !== "submit" || button.disabled) continue;
        button.disabled = true;
        button.dataset.rests = "";
        button.setAttribute("aria-busy", "true");
      }
    });
  }
  function wake(form) {
    setTimeout(() => {
      delete form.dataset.sending;
      for (const button of form.querySelectorAll("[data-rests]")) {
        button.disabled = false;
        button.removeAttribute("data-rests");
        button.removeAttribute("aria-busy");
      }
    });
  }
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || "again" in form.dataset) return; // data-again: a form that answers with a download
    if ("sending" in form.dataset) event.preventDefault();
    else if (!event.defaultPrevented) rest(form);
  });
  window.addEventListener("pageshow", () => document.querySelectorAll("form[data-sending]").forEach(wake));
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt instanceof HTMLFormElement) rest(event.detail.elt);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    if (event.detail.elt instanceof HTMLFormElement) wake(event.detail.elt);
  });

  // htmx says out loud what went wrong; a session that has ended leads to the login page, never into a corner of one.
  function sentenceOf(xhr) {
    if ((xhr.getResponseHeader("Content-Type") || "").startsWith("application/problem+json")) {
      try {
        const { detail } = JSON.parse(xhr.responseText);
        if (detail) return detail;
      } catch { /* not the document it says it is */ }
    }
    if (xhr.status === 403) return body.dataset.sayForbidden;
    if (xhr.status === 429 || xhr.status === 503) return body.dataset.sayBusy;
    return body.dataset.sayFailed;
  }
  document.addEventListener("htmx:responseError", (event) => announce(sentenceOf(event.detail.xhr)));
  document.addEventListener("htmx:sendError", () => announce(body.dataset.sayNetwork));
  document.addEventListener("htmx:timeout", () => announce(body.dataset.sayNetwork));
  document.addEventListener("htmx:beforeSwap", (event) => {
    // A refusal (components/refusal.html) goes among the alerts: what has been typed stays where it is.
    if (/^\s*<div[^>]*\sdata-refusal=/.test(event.detail.serverResponse)) {
      const place = document.getElementById("alerts");
      place.replaceChildren();
      Object.assign(event.detail, { shouldSwap: true, isError: false, target: place, swapOverride: "innerHTML" });
      return;
    }
    const came = event.detail.xhr.responseURL;
    if (came && body.dataset.login && new URL(came).pathname === body.dataset.login) {
      event.detail.shouldSwap = false;
      location.reload();
    }
  });

  // The theme changes at once, without losing what has been typed; the server keeps it for the next page.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!("themeSwitch" in form.dataset) || !event.submitter || event.defaultPrevented) return;
    event.preventDefault();
    const data = new FormData(form, event.submitter);
    document.documentElement.dataset.bsTheme = event.submitter.value;
    for (const button of form.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button === event.submitter));
    }
    fetch(form.action, { method: "POST", body: data, redirect: "manual" })
      .catch(() => announce(body.dataset.sayNetwork));
  }, true);

  // <strong data-countdown="252">: seconds left when the page was made, counted on a clock that nobody can set.
  const start = performance.now();
  const since = new WeakMap();
  function reading(seconds) {
    const left = Math.max(0, Math.round(seconds));
    const two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(left / 3600), minutes = Math.floor(left / 60) % 60;
    return (hours ? `${hours}:${two(minutes)}` : String(minutes)) + `:${two(left % 60)}`;
  }
  function tick() {
    const now = performance.now();
    for (const face of document.querySelectorAll("[data-countdown]")) {
      if (!since.has(face)) since.set(face, document.readyState === "complete" ? now : start);
      const left = Number(face.dataset.countdown) - (now - since.get(face)) / 1000;
      const shown = reading(left);
      if (face.textContent !== shown) face.textContent = shown;
      const clock = face.closest(".clock");
      clock?.classList.toggle("late", left <= 0);
      const line = clock?.querySelector("progress");
      if (line) line.value = Math.max(0, left);
    }
  }
  setInterval(tick, 1000);
  tick();

  // A finding and its highlight light up together: tr[data-number="2"] and mark[data-number~="2"].
  function light(event) {
    const from = event.target instanceof Element ? event.target.closest("[data-number]") : null;
    for (const lit of document.querySelectorAll(".lit")) lit.classList.remove("lit");
    if (!from) return;
    for (const number of from.dataset.number.split(" ").filter(Boolean)) {
      for (const twin of document.querySelectorAll(`[data-number~="${CSS.escape(number)}"]`)) {
        if (twin !== from) twin.classList.add("lit");
      }
    }
  }
  document.addEventListener("pointerover", light);
  document.addEventListener("focusin", light);

  document.querySelector(".rail [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  window.Mingjian = { announce };
})();
