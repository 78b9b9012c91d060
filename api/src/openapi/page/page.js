// Signs what "Try it out" sends: auth-v2, as the document's security scheme describes it.
"use strict";

const accessKey = document.getElementById("access-key");
const secretKey = document.getElementById("secret-key");
const utf8 = (text) => new TextEncoder().encode(text);

function normalize(text) {
  const escape = (byte) => "%" + byte.toString(16).toUpperCase().padStart(2, "0");
  const one = (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9._~-]/.test(character) ? character : escape(byte);
  };
  return Array.from(utf8(text), one).join("");
}

async function hmac(key, message) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await crypto.subtle.importKey("raw", utf8(key), algorithm, false, ["sign"]);
  const bytes = new Uint8Array(await crypto.subtle.sign("HMAC", imported, utf8(message)));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function sign(request) {
  // The document is no call, and without keys whatever "Authorize" has set goes out as it is.
  if (request.loadSpec || !accessKey.value || !secretKey.value || !crypto.subtle) return request;
  const url = new URL(request.url, location.href);
  // The browser sends the page's own host, and no other is allowed by the page's policy.
  const headers = [["host", url.host]];
  for (const [name, value] of Object.entries(request.headers)) {
    // An Idempotency-Key counts only when it is signed.
    if (["content-type", "idempotency-key"].includes(name.toLowerCase())) headers.push([name.toLowerCase(), value]);
  }
  const signedHeaders = headers.map(([name]) => name).sort().join(";");
  const headerLines = headers.map(([name, value]) => normalize(name) + ":" + normalize(value.trim())).sort();
  const canonical = [request.method.toUpperCase(), url.pathname, signedHeaders, ...headerLines];
  canonical.push(normalize(request.body ?? ""));
  const timestamp = new Date().toISOString();
  const prefix = ["auth-v2", accessKey.value, timestamp, signedHeaders].join("/");
  const signature = await hmac(await hmac(secretKey.value, prefix), canonical.join("\n"));
  request.headers.Authorization = prefix + "/" + signature;
  return request;
}

document.getElementById("signing").textContent = crypto.subtle
  ? "With both keys typed in, “Try it out” signs what it sends. They stay in this page. It really deletes."
  : "This page cannot sign: the browser gives its cryptography to https and to localhost alone. " +
    "Open the page by one of them.";

window.ui = SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  requestInterceptor: sign,
});
