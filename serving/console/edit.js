// The browser's part of the prompt editor: reading the text, and not losing it.
const area = () => document.getElementById("lg-text");
// What the connection takes in one message; a prompt has at most 100,000 characters.
const most = 600000;
let dirty = false;

// What was typed, null when it is too long to send.
function edited() {
  const text = area().value;
  return new TextEncoder().encode(JSON.stringify(text)).length > most ? null : text;
}

function edit() {
  dirty = true;
}

function kept() {
  dirty = false;
}

window.lockgate = { ...window.lockgate, edited, edit, kept };

addEventListener("beforeunload", (event) => {
  if (dirty) event.preventDefault();
});
