// Small ways to build a page. Text only ever becomes text: nothing here, or anywhere, parses markup.

/** The one element under `root` that is marked data-part="name". */
export function part(root, name) {
  return root.querySelector(`[data-part="${name}"]`);
}

/** Make an element; `properties` are set as properties, `children` appended (strings as text). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Set text only when it differs, so that selections and screen readers are left in peace. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function mark(element, value) {
  if (element.dataset.is !== value) element.dataset.is = value;
}

/** Tell those who listen rather than look. */
export function announce(text) {
  say(document.getElementById("announcements"), text);
}
