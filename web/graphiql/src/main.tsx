import "graphiql/style.css";
import "./page.css";
import "./workers";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app";

const root = document.getElementById("graphiql");
if (root === null) throw new Error("index.html has no element with the id graphiql");
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);
