// The browser's part of the chat page: keys, scrolling, colours, and a second cleaning of what the server rendered.
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

const field = () => document.getElementById("lg-field");
const answering = () => document.querySelector(".lg-app")?.dataset.answering === "yes";

function fit(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

// What was typed, when it may be sent now; the field is then empty.
function take() {
  const area = field();
  const text = area.value.trim();
  if (!text || answering()) return null;
  area.value = "";
  fit(area);
  pinned = true;
  return text;
}

function wantsToSend(event) {
  // isComposing: Enter that ends an input method's word is not meant for us.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return null;
  event.preventDefault();
  return take();
}

let pinned = true;

function follow() {
  const scroll = document.querySelector(".lg-scroll");
  scroll.addEventListener("scroll", () => {
    pinned = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < 80;
  });
  new MutationObserver(() => {
    if (pinned) scroll.scrollTop = scroll.scrollHeight;
  }).observe(scroll, { childList: true, subtree: true, characterData: true });
}

function toggleTheme() {
  const dark = !document.body.classList.contains("body--dark");
  localStorage.setItem("lockgate-theme", dark ? "dark" : "light");
  setDark(dark);
}

window.lockgate = { take, wantsToSend, fit, toggleTheme };

addEventListener("load", () => {
  const chosen = localStorage.getItem("lockgate-theme");
  if (chosen) setDark(chosen === "dark");
  const ready = setInterval(() => {
    if (!field()) return;
    clearInterval(ready);
    field().addEventListener("input", (event) => fit(event.target));
    field().focus();
    follow();
  }, 30);
});
