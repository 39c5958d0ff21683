/* The desk: keys that keys.js doesn't know, the texts of the chosen category, the heartbeat of the lease. The form works
   without this file; the server has the last word on everything. */
(() => {
  "use strict";
  const form = document.getElementById("decide");
  if (!form) return;
  const { announce } = window.Mingjian;
  const AWAY_AFTER = 120_000; // ms without a touch: whoever has left the desk must not hold the item
  const category = form.elements.category;
  const reason = form.elements.reason;
  const texts = JSON.parse(document.getElementById("category-texts").textContent);
  const chosen = () => form.querySelector("[name=outcome]:checked")?.value || "";

  // Keys: j and k walk through the findings, e passes on, Ctrl+Enter submits while writing.
  const findings = [...document.querySelectorAll("tr[data-finding]")];
  for (const row of findings) row.tabIndex = -1;
  function walk(step) {
    if (!findings.length) return;
    const now = findings.indexOf(document.activeElement.closest?.("tr[data-finding]"));
    const next = findings[now < 0 ? (step > 0 ? 0 : findings.length - 1) : (now + step + findings.length) % findings.length];
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
    document.querySelector(`mark[data-number~="${next.dataset.number}"]`)?.scrollIntoView({ block: "nearest" });
  }
  const composing = (event) => event.isComposing || event.keyCode === 229;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.repeat && !composing(event)
        && form.contains(event.target) && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      form.requestSubmit();
      return;
    }
    if (event.shiftKey || !window.Mingjian.keyIsFree(event)) return;
    const key = event.key.toLowerCase();
    if (key === "j" || key === "k") walk(key === "j" ? 1 : -1);
    else if (key === "e") form.querySelector("[name=outcome][value=escalate]")?.click();
    else return;
    event.preventDefault();
  });

  // The category's guidance and sentence follow the choice; what a person wrote is never overwritten.
  const plain = (text) => (text || "").replace(/\s+/g, " ").trim();
  const suggested = texts[form.elements.prefilled.value]?.reason;
  let filled = plain(reason.value) === plain(suggested) ? reason.value : "";
  function follow() {
    const outcome = chosen();
    const text = texts[category.value];
    const block = outcome === "block" || outcome === "";
    document.getElementById("guidance").textContent = text ? text.guidance : "";
    form.querySelector("[data-clause]").textContent = text ? text.clause : "";
    form.querySelector(".for-block").hidden = !block;
    for (const part of form.querySelectorAll("[data-when]")) part.hidden = (part.dataset.when === "block") !== block;
    if (reason.value === filled) {
      filled = block && text ? text.reason : "";
      reason.value = filled;
      form.elements.prefilled.value = block ? category.value : "";
    }
    const submit = form.querySelector("[data-action=submit]");
    submit.classList.toggle("btn-danger", outcome === "block");
    submit.classList.toggle("btn-primary", outcome !== "block");
  }
  form.addEventListener("change", follow);
  if (chosen() !== "") follow();

  // What was done last has been read after a while; a refusal stays until it is dismissed.
  setTimeout(() => {
    for (const notice of document.querySelectorAll("#alerts .notice[role=status]")) notice.remove();
  }, 8000);

  // The lease: renewed while the tab is seen and somebody is there. When it is lost the form is locked and says so.
  const lease = document.querySelector("[data-lease]");
  const every = Number(form.dataset.heartbeat) * 1000;
  let touched = performance.now();
  let ending = 0;
  let over = false;
  for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"]) {
    document.addEventListener(kind, () => { touched = performance.now(); }, { passive: true, capture: true });
  }

  function lock(sentence) {
    if (over) return;
    over = true;
    for (const each of [form, document.getElementById("skip")]) {
      for (const element of each.elements) element.disabled = true;
      each.classList.add("locked");
    }
    lease.classList.add("lost");
    document.getElementById("go-on").hidden = false;
    announce(sentence);
  }

  function lasts(seconds) {
    clearTimeout(ending);
    ending = setTimeout(() => lock(form.dataset.sayEnded), seconds * 1000);
  }

  function show(seconds) {
    // The clock of mingjian.js counts from when it first saw an element: a new reading is a new element.
    const face = lease.querySelector("[data-countdown]");
    const fresh = face.cloneNode(false);
    fresh.dataset.countdown = seconds;
    fresh.textContent = face.textContent;
    face.replaceWith(fresh);
    lasts(seconds);
  }

  async function beat() {
    if (over || document.visibilityState !== "visible" || performance.now() - touched > AWAY_AFTER) return;
    const body = new FormData();
    for (const name of ["csrfmiddlewaretoken", "submission", "token"]) body.set(name, form.elements[name].value);
    try {
      const answer = await fetch(form.dataset.heartbeatUrl, { method: "POST", body, redirect: "error" });
      if (answer.ok) show((await answer.json()).seconds);
      else if (answer.status === 409) lock((await answer.json()).detail);
      else if (answer.status === 403) announce(document.body.dataset.sayForbidden);
    } catch { /* the net is away: the clock goes on, and the lease ends when it ends */ }
  }
  lasts(Number(lease.querySelector("[data-countdown]").dataset.countdown));
  setInterval(beat, every);
  document.addEventListener("visibilitychange", beat);
})();
