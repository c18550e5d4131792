// The browser's part of every page: colours, copying, and a second cleaning of what the server rendered.
import DOMPurify from "dompurify";

// The server allows only these; should it ever let something else through, it ends here.
DOMPurify.addHook("uponSanitizeElement", (node, data) => {
  const banned = ["img", "svg", "math", "style", "form", "input", "textarea", "video", "audio", "source", "picture", "image"];
  if (banned.includes(data.tagName)) node.remove?.();
});
// DOMPurify drops target; without it a link would replace the conversation.
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  if (!/^https?:\/\//i.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

function toggleTheme() {
  const dark = !document.body.classList.contains("body--dark");
  localStorage.setItem("lockgate-theme", dark ? "dark" : "light");
  setDark(dark);
}

// The text of the command beside the button, into the clipboard; the button says that it is there.
async function copy(event) {
  const button = event.currentTarget ?? event.target.closest("button");
  const code = button?.parentElement?.querySelector("code");
  if (!code) return;
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch {
    getSelection().selectAllChildren(code);
    return;
  }
  const label = button.getAttribute("aria-label");
  button.setAttribute("aria-label", "Copied");
  button.classList.add("is-done");
  setTimeout(() => {
    button.setAttribute("aria-label", label);
    button.classList.remove("is-done");
  }, 1500);
}

window.lockgate = { ...window.lockgate, toggleTheme, copy };

addEventListener("load", () => {
  const chosen = localStorage.getItem("lockgate-theme");
  if (chosen) setDark(chosen === "dark");
});
