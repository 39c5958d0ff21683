/* The verification desk and the second look: ready-made reasons, pictures that turn and grow, what was shown in the clear
   is taken away again, the heartbeat of the lease. The forms work without this file; the server has the last word. */
(() => {
  "use strict";
  const reason = document.getElementById("decision-reason");
  const reject = document.querySelector('input[name="outcome"][value="reject"]');

  // Ready-made reasons. They are links, so that they work without scripts; as buttons they answer to the space bar too.
  document.addEventListener("click", (event) => {
    const snippet = event.target instanceof Element ? event.target.closest("[data-fill]") : null;
    if (!snippet || !reason || !reject || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    reason.value = snippet.dataset.fill;
    reject.checked = true;
    reason.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== " " || !(event.target instanceof Element) || !event.target.matches("[data-fill]")) return;
    event.preventDefault();
    event.target.click();
  });

  // Whoever opens "show" or "record" by its key goes on typing where the form begins.
  for (const details of document.querySelectorAll(".proof details, .guardian details")) {
    details.addEventListener("toggle", () => {
      if (details.open) details.querySelector("input:not([type=hidden]), select")?.focus();
    });
  }

  // The pictures: the one that is pointed at or focused, else the first.
  const pictures = [...document.querySelectorAll("[data-picture]")].filter((one) => one.querySelector("img"));
  const group = document.getElementById("pictures");
  const STEPS = ["1", "1.5", "2", "3", "4"];
  let pointed = null;
  for (const picture of pictures) {
    picture.querySelector("[data-tools]")?.removeAttribute("hidden");
    picture.addEventListener("pointerenter", () => { pointed = picture; });
    picture.addEventListener("pointerleave", () => { pointed = null; });
  }
  const current = () => document.activeElement?.closest?.("[data-picture]") || pointed || pictures[0];
  function zoom(one, step) {
    const frame = one.querySelector(".picture-frame");
    // What stood in the middle stays there.
    const middle = [(frame.scrollLeft + frame.clientWidth / 2) / frame.scrollWidth, (frame.scrollTop + frame.clientHeight / 2) / frame.scrollHeight];
    one.dataset.zoom = STEPS[Math.min(STEPS.length - 1, Math.max(0, STEPS.indexOf(one.dataset.zoom) + step))];
    frame.scrollTo(middle[0] * frame.scrollWidth - frame.clientWidth / 2, middle[1] * frame.scrollHeight - frame.clientHeight / 2);
  }
  const acts = {
    left: (one) => { one.dataset.turn = String((Number(one.dataset.turn) + 270) % 360); },
    right: (one) => { one.dataset.turn = String((Number(one.dataset.turn) + 90) % 360); },
    in: (one) => zoom(one, 1),
    out: (one) => zoom(one, -1),
    reset: (one) => { one.dataset.turn = "0"; one.dataset.zoom = "1"; },
  };
  function walk() {
    const now = pictures.indexOf(document.activeElement?.closest?.("[data-picture]"));
    const frame = pictures[(now + 1) % pictures.length].querySelector(".picture-frame");
    frame.focus();
    frame.scrollIntoView({ block: "nearest" });
  }
  const KEYS = { q: "left", e: "right", "+": "in", "=": "in", "-": "out", 0: "reset" };
  document.addEventListener("click", (event) => {
    const tool = event.target instanceof Element ? event.target.closest("[data-do]") : null;
    if (tool) acts[tool.dataset.do](tool.closest("[data-picture]"));
  });
  document.addEventListener("keydown", (event) => {
    if (!pictures.length || !group.isConnected || !window.Mingjian.keyIsFree(event)) return;
    const key = event.key.toLowerCase();
    if (key in KEYS) acts[KEYS[key]](current());
    else if (key === "p") walk();
    else if (key === "v") group.classList.add("clear");
    else return;
    event.preventDefault();
  });
  const blur = () => group?.classList.remove("clear");
  document.addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "v") blur(); });
  window.addEventListener("blur", blur); // the key may be let go in another window

  // What was shown goes after its time.
  const note = document.querySelector("[data-hides]");
  if (note) {
    let gone = false;
    const hide = () => {
      if (gone) return;
      gone = true;
      for (const shown of document.querySelectorAll("[data-shown]")) {
        shown.textContent = "••••••";
        shown.removeAttribute("data-shown");
      }
      for (const picture of document.querySelectorAll("[data-shown-picture]")) {
        const frame = picture.closest(".picture-frame");
        picture.remove();
        frame.classList.add("closed");
        frame.closest("[data-picture]").querySelector("[data-tools]")?.remove();
      }
      pictures.length = 0;
      note.remove();
      document.querySelector("[data-hidden-note]")?.removeAttribute("hidden");
    };
    // A sleeping computer stops the timer, so the clock is looked at again when somebody comes back.
    const until = Date.now() + Number(note.dataset.hides) * 1000;
    setTimeout(hide, Number(note.dataset.hides) * 1000);
    document.addEventListener("visibilitychange", () => { if (Date.now() >= until) hide(); });
    window.addEventListener("pagehide", hide);
  }

  // The lease: renewed while the tab is seen and somebody is there. When it is lost the form is locked and says so.
  const form = document.getElementById("decide");
  const lease = document.querySelector("[data-lease]");
  if (!form || !lease) return;
  const { announce } = window.Mingjian;
  const AWAY_AFTER = 120_000; // ms without a touch: whoever has left the desk must not hold the identity
  let touched = performance.now();
  let ending = 0;
  let over = false;
  for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart", "scroll"]) {
    document.addEventListener(kind, () => { touched = performance.now(); }, { passive: true, capture: true });
  }

  function lock(sentence) {
    if (over) return;
    over = true;
    for (const element of form.elements) element.disabled = true;
    form.classList.add("locked");
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
    for (const name of ["csrfmiddlewaretoken", "token"]) body.set(name, form.elements[name].value);
    try {
      const answer = await fetch(form.dataset.heartbeatUrl, { method: "POST", body, redirect: "error" });
      if (answer.ok) show((await answer.json()).seconds);
      else if (answer.status === 409) lock((await answer.json()).detail);
      else if (answer.status === 403) announce(document.body.dataset.sayForbidden);
    } catch { /* the net is away: the clock goes on, and the lease ends when it ends */ }
  }

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat || event.isComposing
        || event.keyCode === 229 || !form.contains(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    form.requestSubmit();
  });
  lasts(Number(lease.querySelector("[data-countdown]").dataset.countdown));
  setInterval(beat, Number(form.dataset.heartbeat) * 1000);
  document.addEventListener("visibilitychange", beat);
})();
