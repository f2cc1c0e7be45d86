import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { ACCOUNT } from "./account_panel";
import { EXAMPLES } from "./examples";
import { fetcher } from "./fetcher";
import { ResponseFooter } from "./footer";
import { UPLOAD_PLUGIN } from "./upload_panel";

const PLUGINS = [HISTORY_PLUGIN, ACCOUNT, UPLOAD_PLUGIN];
const TABS = EXAMPLES.map(({ query, variables = "" }) => ({ query, variables, headers: "" }));

export function App() {
  return (
    // Headers are never kept in localStorage: they may hold a token.
    <GraphiQL
      fetcher={fetcher}
      plugins={PLUGINS}
      visiblePlugin={ACCOUNT}
      defaultTabs={TABS}
      defaultEditorToolsVisibility="variables"
      shouldPersistHeaders={false}
      showPersistHeadersSettings={false}
      schemaDescription
      inputValueDeprecation
    >
      <GraphiQL.Logo>Colloquy</GraphiQL.Logo>
      <GraphiQL.Footer>
        <ResponseFooter />
      </GraphiQL.Footer>
    </GraphiQL>
  );
}
