// The browser's part of the chat page: keys and scrolling.
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

window.lockgate = { ...window.lockgate, take, wantsToSend, fit };

addEventListener("load", () => {
  const ready = setInterval(() => {
    if (!field()) return;
    clearInterval(ready);
    field().addEventListener("input", (event) => fit(event.target));
    field().focus();
    follow();
  }, 30);
});
