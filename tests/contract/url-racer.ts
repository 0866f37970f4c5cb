// One of several processes that race for the same keys of a target. It opens the target by its URL, with
// secrets from the environment, says "ready", waits for a line, then creates every key in order and
// prints the outcomes as JSON.

import { once } from 'node:events'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'

const [url, number, ...contested] = process.argv.slice(2) as [string, string, ...string[]]
const source = { kind: 'option', label: 'the racer', baseFolder: process.cwd() } as const
const setting = parseTargetUrl(url, { source, environment: process.env })
const target = await openTarget(setting, systemPlatform)
console.log('ready')
await once(process.stdin, 'data')
const body = new Uint8Array(5000).fill(Number(number))
const outcomes = []
for (const key of contested)
  outcomes.push(await target.create(key, body, { modifiedAtMs: 1_795_428_930_123 }))
console.log(JSON.stringify(outcomes))
process.exit(0)
