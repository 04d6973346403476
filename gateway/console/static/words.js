// How times and numbers are written. Times come from the gateway's clock, not from this machine's.

const THIN = "\u202f";
const NBSP = "\u00a0";

let ahead_ms = 0;

/** Take the gateway's time from a message. */
export function setClock(iso) {
  ahead_ms = Date.parse(iso) - Date.now();
}

/** Now, by the gateway's clock, in milliseconds since 1970. */
export function now() {
  return Date.now() + ahead_ms;
}

export function duration(seconds) {
  if (seconds < 0.9995) return `${Math.max(0, Math.round(seconds * 1000))}${THIN}ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}${THIN}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}${THIN}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}${THIN}min${NBSP}${pad(whole % 60)}${THIN}s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}${THIN}h${NBSP}${pad(minutes % 60)}${THIN}min`;
  return `${Math.floor(minutes / 1440)}${THIN}d${NBSP}${Math.floor((minutes % 1440) / 60)}${THIN}h`;
}

/** A duration that runs: whole seconds, so that it counts calmly. */
export function running(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return whole < 60 ? `${whole}${THIN}s` : duration(whole);
}

/** Seconds between two ISO times, or from one until now. */
export function between(from, to) {
  return ((to === undefined ? now() : Date.parse(to)) - Date.parse(from)) / 1000;
}

export function clock(iso) {
  const at = new Date(iso);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function count(number, one, many) {
  return `${number}${NBSP}${number === 1 ? one : many}`;
}

export function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}

function pad(number) {
  return String(number).padStart(2, "0");
}
