"use strict";

// Takes the keyboard when a connection begins, and says why it has ended.
window.WebSocket = class extends WebSocket {
  constructor(...parameters) {
    super(...parameters);
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
    // What the mouse does before and after is for nobody.
    if (this.readyState === WebSocket.OPEN) {
      super.send(data);
    }
  }
};

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("again").addEventListener("click", () => location.assign("/"));

  // The terminal measures its cells once, so the font has to be there first.
  const open = window.onload;
  window.onload = async (event) => {
    const fonts = ["", "bold ", "italic "].map((style) => `${style}16px "Roboto Mono"`);
    await Promise.allSettled(fonts.map((font) => document.fonts.load(font)));
    open(event);
  };
});
