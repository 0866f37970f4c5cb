// One of several processes that race for the same keys of a folder target. It opens the folder, says
// "ready", waits for a line, then creates every key in order and prints the outcomes as JSON.

import { once } from 'node:events'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'

const [path, number, ...contested] = process.argv.slice(2) as [string, string, ...string[]]
const target = await createFolderTarget({ path, platform: systemPlatform })
console.log('ready')
await once(process.stdin, 'data')
const body = new Uint8Array(5000).fill(Number(number))
const outcomes = []
for (const key of contested)
  outcomes.push(await target.create(key, body, { modifiedAtMs: 1_795_428_930_123 }))
console.log(JSON.stringify(outcomes))
process.exit(0)
