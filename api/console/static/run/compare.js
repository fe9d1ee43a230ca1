// The run beside another one.
import { call } from "../api.js";
import { brief, html, Table, typed, useOrder, useState } from "../words.js";

export function Compare({ record }) {
  const [{ same, differences = [] }, show] = useState({});
  const [order, wrong] = useOrder();
  const compare = id => { show({}); order(() => call(`runs/${record.run_id}/diff/${encodeURIComponent(id)}`).then(show)); };
  return html`<label>Another run <input placeholder="its id" onChange=${typed(compare)} /></label>${wrong}${same && " Nothing differs."}
    ${differences[0] && html`<${Table} caption="What differs" head=${["What", "Where", "Place", "This run", "The other"]}
      rows=${differences.map(one => [one.what, one.where, one.path, brief([one.first]), brief([one.second])])} />`}`;
}
