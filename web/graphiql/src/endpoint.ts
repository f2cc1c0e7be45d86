/** The one GraphQL endpoint, on the host that served this page: HTTP and WebSocket. */
export const HTTP_ENDPOINT = new URL("/graphql", window.location.href).href;

export const SOCKET_ENDPOINT = HTTP_ENDPOINT.replace(/^http/, "ws");
