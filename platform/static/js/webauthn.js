/* Security keys and passkeys: <form data-webauthn="get|create" data-options="id of the JSON">. The browser asks the key
   when the form is sent, and the answer goes along in the field "credential". */
(() => {
  "use strict";

  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) =>
    buffer && btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const named = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));

  async function create(options) {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: named(options.excludeCredentials),
      },
    });
    return answer(made, { attestationObject: text(made.response.attestationObject) });
  }

  async function get(options) {
    const used = await navigator.credentials.get({
      publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: named(options.allowCredentials) },
    });
    const { authenticatorData, signature, userHandle } = used.response;
    const more = { authenticatorData: text(authenticatorData), signature: text(signature) };
    if (userHandle) more.userHandle = text(userHandle);
    return answer(used, more);
  }

  function answer(credential, more) {
    return JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      authenticatorAttachment: credential.authenticatorAttachment || null,
      clientExtensionResults: credential.getClientExtensionResults(),
      response: { clientDataJSON: text(credential.response.clientDataJSON), ...more },
    });
  }

  function say(form, sentence) {
    const place = form.querySelector("[data-webauthn-said]");
    place.textContent = sentence;
    place.hidden = !sentence;
  }

  for (const form of document.querySelectorAll("form[data-webauthn]")) {
    form.addEventListener("submit", async (event) => {
      if (form.elements.credential.value) return;
      event.preventDefault();
      say(form, "");
      if (!window.PublicKeyCredential || !navigator.credentials) {
        say(form, form.dataset.sayNone);
        return;
      }
      const button = form.querySelector("button");
      button.disabled = true;
      try {
        const { publicKey } = JSON.parse(document.getElementById(form.dataset.options).textContent);
        form.elements.credential.value = await (form.dataset.webauthn === "create" ? create : get)(publicKey);
      } catch (wrong) {
        const sentences = { SecurityError: form.dataset.sayNone, InvalidStateError: form.dataset.sayKnown };
        say(form, sentences[wrong.name] || form.dataset.sayFailed);
      } finally {
        button.disabled = false;
      }
      if (form.elements.credential.value) form.requestSubmit();
    });
  }
})();
