"use strict";

let connection; // to the app

// Focuses the terminal when a connection opens, and shows why it was closed.
window.WebSocket = class extends WebSocket {
  constructor(...parameters) {
    super(...parameters);
    connection = this;
    this.addEventListener("open", () => {
      document.querySelector(".xterm-helper-textarea").focus();
    });
    this.addEventListener("close", (event) => {
      const lost = "the connection to jmlp serve was lost";
      document.getElementById("reason").textContent = event.reason || lost;
      document.getElementById("again").focus();
    });
  }

  send(data) {
    // Mouse events may come before the connection is open or after it was closed.
    if (this.readyState === WebSocket.OPEN) {
      super.send(data);
    }
  }
};

// What the app copies arrives as an escape sequence, a moment after the key or the mouse. A browser
// that takes it for too late lets the page write with the next key or click. Nothing may read.
const clipboard = navigator.clipboard; // undefined on http, except on this machine
let uncopied = null;

Object.defineProperty(navigator, "clipboard", {
  value: {
    readText: async () => "",
    writeText: async (text) => {
      uncopied = text;
      const written = clipboard?.writeText(text) ?? Promise.reject();
      // Not awaited: the terminal would stop until the user has answered a question.
      written.then(() => (uncopied = null), copyUncopied);
    },
  },
});

function copyUncopied() {
  if (uncopied !== null && copyByEvent((data) => data.setData("text/plain", uncopied))) {
    uncopied = null;
  }
}

// Has the browser copy; `put` may replace what it would take. Returns whether there was anything.
function copyByEvent(put) {
  let copied = false;
  const early = (event) => {
    if (put !== undefined) {
      put(event.clipboardData);
      event.preventDefault();
      event.stopImmediatePropagation();
      copied = true;
    }
  };
  const late = (event) => (copied ||= event.defaultPrevented); // the terminal has a selection
  const enable = (event) => event.preventDefault(); // even if the page itself has no selection
  document.addEventListener("beforecopy", enable);
  document.addEventListener("copy", early, true);
  document.addEventListener("copy", late);
  document.execCommand("copy");
  document.removeEventListener("beforecopy", enable);
  document.removeEventListener("copy", early, true);
  document.removeEventListener("copy", late);
  return copied;
}

for (const kind of ["keydown", "mouseup"]) {
  document.addEventListener(kind, copyUncopied, true); // before the terminal stops the event
}

// With ctrl+c, copies what was selected with shift and the mouse, as other terminals do; without
// such a selection, the key is the app's.
document.addEventListener(
  "keydown",
  (event) => {
    const modified = event.shiftKey || event.altKey || event.metaKey;
    if (event.ctrlKey && !modified && event.key === "c" && copyByEvent()) {
      event.preventDefault();
      event.stopImmediatePropagation();
    }
  },
  true,
);

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => location.assign("/"));
});
