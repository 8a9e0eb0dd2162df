/** Typed client of the scoring service: paths, queries, bodies and answers come from its OpenAPI document. */
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths };
export type CustomerScore = components["schemas"]["CustomerScore"];
export type CustomerRow = components["schemas"]["CustomerRow"];
export type ProblemDocument = components["schemas"]["ProblemDocument"];
export type CustomerQuery = NonNullable<paths["/v1/customers"]["get"]["parameters"]["query"]>;

/** The service refused; `problem` says why, `problem.type` which kind of refusal it is. */
export class ServiceError extends Error {
  constructor(readonly status: number, readonly problem: ProblemDocument | undefined) {
    super(problem?.detail ?? `The service answered ${status}.`);
  }
}

/** A client of the service at `baseUrl`, such as "https://scores.example". */
export function connect(baseUrl: string, key?: string): Client<paths> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return createClient<paths>({ baseUrl, headers });
}

/** Customers one by one, page after page. */
export async function* everyCustomer(
  client: Client<paths>,
  query: CustomerQuery = {},
): AsyncGenerator<CustomerRow> {
  let cursor: string | null = query.cursor ?? null;
  do {
    const { data, error, response } = await client.GET("/v1/customers", {
      params: { query: { limit: 1000, ...query, cursor } },
    });
    if (data === undefined) throw new ServiceError(response.status, error);
    yield* data.customers;
    cursor = data.next;
  } while (cursor !== null);
}
