// Usage: ACCESS_KEY=… SECRET_KEY=… node delete.mjs BASE_URL VDN CAMPAIGN BODY
import { createHmac } from "node:crypto";

const [baseUrl, vdn, campaign, body] = process.argv.slice(2);
const { ACCESS_KEY: accessKey, SECRET_KEY: secretKey } = process.env;

// encodeURIComponent keeps five characters that must be escaped.
const escape = (character) => "%" + character.charCodeAt(0).toString(16).toUpperCase();
const normalize = (text) => encodeURIComponent(text).replace(/[!'()*]/g, escape);
const hmac = (key, message) => createHmac("sha256", key).update(message).digest("hex");

function sign(path, headers) {
  const names = Object.keys(headers).map((name) => name.toLowerCase());
  const signedHeaders = names.sort().join(";");
  const line = ([name, value]) => normalize(name.toLowerCase()) + ":" + normalize(value.trim());
  const lines = Object.entries(headers).map(line).sort();
  const canonicalRequest = ["POST", path, signedHeaders, ...lines, normalize(body)].join("\n");
  const prefix = ["auth-v2", accessKey, new Date().toISOString(), signedHeaders].join("/");
  return prefix + "/" + hmac(hmac(secretKey, prefix), canonicalRequest);
}

const path = `/rest/isales/v1/openapi/campaigns/${vdn}/calldata/${campaign}/delete`;
const headers = { "Content-Type": "application/json; charset=UTF-8" };
// fetch makes the Host header itself, of the URL.
const signed = sign(path, { ...headers, Host: new URL(baseUrl).host });
const request = { method: "POST", headers: { ...headers, Authorization: signed }, body };
const response = await fetch(baseUrl + path, request);
console.log(await response.text());
process.exitCode = response.ok ? 0 : 1;
