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

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => location.assign("/"));
});
