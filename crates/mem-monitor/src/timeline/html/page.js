const d = JSON.parse(document.getElementById("data").textContent);
const figure = document.getElementById("timeline");
const cursor = document.getElementById("cursor");
const values = document.getElementById("values");
figure.addEventListener("pointermove", (event) => {
  const box = figure.getBoundingClientRect();
  const scale = box.width / d.width;
  const x = (event.clientX - box.left) / scale;
  const inside = x >= d.left && x <= d.right && d.points.length > 0;
  cursor.hidden = values.hidden = !inside;
  if (!inside) return;
  const time = d.from_s + (x - d.left) / (d.right - d.left) * (d.to_s - d.from_s);
  const near = d.points.reduce((a, b) => Math.abs(b[0] - time) < Math.abs(a[0] - time) ? b : a);
  const at = d.left + (near[0] - d.from_s) / (d.to_s - d.from_s) * (d.right - d.left);
  Object.assign(cursor.style, {
    left: at * scale + "px", top: d.top * scale + "px", height: (d.bottom - d.top) * scale + "px",
  });
  values.replaceChildren(near[0].toFixed(3) + " s");
  d.names.forEach((name, i) => {
    const row = document.createElement("div");
    const mark = document.createElement("i");
    mark.style.background = d.colours[i];
    const value = near[i + 1] === null ? "unknown" : near[i + 1].toFixed(1) + " MiB";
    row.append(mark, name + ": " + value);
    values.append(row);
  });
  const left = at > (d.left + d.right) / 2;
  values.style.left = left ? "" : at * scale + 12 + "px";
  values.style.right = left ? (d.width - at) * scale + 12 + "px" : "";
  values.style.top = (d.top + 8) * scale + "px";
});
figure.addEventListener("pointerleave", () => { cursor.hidden = values.hidden = true; });
