// Runs the GraphQL over HTTP audit against the URL given, and prints what did not pass as JSON.
import { serverAudits } from "graphql-http";

const audits = serverAudits({ url: process.argv[2] });
const failed = [];
for (const audit of audits) {
  const result = await audit.fn();
  if (result.status !== "ok") failed.push({ id: result.id, name: result.name, status: result.status, reason: result.reason });
}
console.log(JSON.stringify({ count: audits.length, failed }));
