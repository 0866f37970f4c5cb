#!/usr/bin/env node
// Readable by any Node: an old one gets a sentence instead of a missing module.
const [major, minor] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 23)) {
  process.stderr.write(`error: Kvar needs Node 22.23 or newer; this is Node ${process.versions.node}\n`)
  process.stderr.write('hint: install Node 24\n')
  process.exit(7)
}
await import('../dist/cli/main.js')
