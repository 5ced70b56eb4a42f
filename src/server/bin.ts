#!/usr/bin/env node
import { launch } from "../launch.ts"

await launch("paradrop-server", () => import("./main.ts"))
