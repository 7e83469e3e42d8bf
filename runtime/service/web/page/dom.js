// Elements from values: whatever comes from outside becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; `on` in the attributes holds listeners, null and false attributes are left out. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element. */
export function makeSvg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** The element of an ID of the page. */
export function byId(id) {
  return document.getElementById(id);
}

/** A table's row; a cell is text, a node, or [class, text or node]. */
export function row(...cells) {
  return make("tr", {}, ...cells.map((cell) => {
    const [kind, content] = Array.isArray(cell) ? cell : [null, cell];
    return make("td", { class: kind }, content);
  }));
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
