// Words for ages, sizes and how a session is kept.

/**
 * Return how long ago a time was, in words.
 *
 * @param {number} time seconds since 1970
 * @param {number} now seconds since 1970
 * @returns {string}
 */
export function formatAge(time, now) {
  const minutes = Math.round((now - time) / 60);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.round(minutes / 60);
  if (hours < 24) return `${hours} h ago`;
  const days = Math.round(hours / 24);
  if (days < 30) return days === 1 ? "yesterday" : `${days} days ago`;
  return new Date(time * 1000).toISOString().slice(0, 10);
}

/**
 * Return a size in words.
 *
 * @param {number} bytes
 * @returns {string}
 */
export function formatBytes(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/**
 * Return how a session is kept, in words.
 *
 * @param {{ status?: string, why?: string, when?: number, copy_of?: string }} kept
 * @param {number} now seconds since 1970
 * @returns {string}
 */
export function statusText({ status, why, when, copy_of }, now) {
  if (status === "saving") return "Saving…";
  if (status === "saved") return `Saved ${formatAge(when ?? 0, now)}`;
  if (status === "failed") return `Not saved: ${why}`;
  if (copy_of) return `A copy: ${copy_of} is open elsewhere`;
  return status === "new" ? "Kept from the next edit on" : "";
}
