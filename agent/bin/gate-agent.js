#!/usr/bin/env node
// Starts the compiled and bundled program; `npm run build` makes it.
import '../dist/bundle/index.js'
