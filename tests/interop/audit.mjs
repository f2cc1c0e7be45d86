// The public audits of GraphQL over HTTP against the server at argv[2]; prints one JSON line for each audit.
import { serverAudits } from "graphql-http";

for (const audit of serverAudits({ url: process.argv[2] })) {
  const result = await audit.fn();
  // A body that nobody reads keeps its connection, and with it this program.
  await result.response?.body?.cancel().catch(() => {});
  console.log(JSON.stringify({ id: audit.id, name: audit.name, status: result.status, reason: result.reason ?? null }));
}
