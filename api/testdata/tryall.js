// Tries every operation of the page, as somebody who clicks would, and posts
// what came of it to /tried. tries is what to try, in order.
(async () => {
  const problems = [];
  const until = async (what, find) => {
    for (const end = Date.now() + 20000; Date.now() < end; ) {
      const found = find();
      if (found) return found;
      await new Promise(go => setTimeout(go, 20));
    }
    throw new Error("there is no " + what);
  };
  const type = (input, text) => { // React listens to what its own setter does not see
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(input), "value").set.call(input, text);
    input.dispatchEvent(new Event(input.tagName === "SELECT" ? "change" : "input", {bubbles: true}));
    input.dispatchEvent(new Event("focusout", {bubbles: true}));
  };
  const attempt = async t => {
    const block = await until("block", () => document.getElementById(t.block));
    block.querySelector(".opblock-summary-control").click();
    await until("form", () => block.querySelector(".responses-wrapper")); // comes when its references are resolved
    for (const [name, value] of Object.entries(t.values)) {
      const field = block.querySelector(`tr[data-param-name="${name}"] input, tr[data-property-name="${name}"] :is(input, select)`);
      if (field) type(field, value);
    }
    const body = block.querySelector("textarea.body-param__text");
    if (body) for (const [of, who] of Object.entries(t.instead)) {
      if (body.value.includes(of)) type(body, body.value.replace(of, who));
    }
    block.querySelector(".btn.execute").click();
    const status = await until("answer", () => block.querySelector(".live-responses-table tbody .response-col_status"));
    block.querySelector(".opblock-summary-control").click();
    return status.textContent.trim();
  };
  const shown = {};
  try {
    await until("operation", () => document.querySelector(".opblock"));
    document.querySelector(".btn.authorize").click();
    type(await until("field of the token", () => document.querySelector('input[aria-label="auth-bearer-value"]')), token);
    document.querySelector(".auth-btn-wrapper .authorize").click();
    (await until("button to close", () => document.querySelector(".auth-btn-wrapper .btn-done"))).click();
    for (const t of tries) {
      try {
        shown[t.block] = await attempt(t);
      } catch (e) {
        problems.push(t.block + ": " + e.message);
      }
    }
  } catch (e) {
    problems.push(e.message);
  }
  await fetch("/tried", {method: "POST", body: JSON.stringify({shown, problems, blocks: [...document.querySelectorAll(".opblock")].map(b => b.id)})});
})();
