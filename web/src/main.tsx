import { render } from "preact";
import { App } from "./app";
import { savedTheme } from "./settings";
import "./style.css";

const theme = savedTheme();
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
render(<App />, document.getElementById("app")!);
