#!/usr/bin/env node
import { launch } from "../launch.ts"

await launch("paradrop", () => import("./main.ts"))
