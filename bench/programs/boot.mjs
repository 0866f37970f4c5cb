import { readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { productModule } from './product.mjs'

/*
 * An app that starts: until its database may be opened. Then it waits for its input to end.
 *   node boot.mjs DATABASE TARGET-FOLDER
 */

const [path = '', targetPath = ''] = process.argv.slice(2)
const { createPersistentDb } = await productModule('index')
const begunMs = performance.now()
const persistence = await createPersistentDb(path, {
  targets: [`folder:${targetPath}`],
  copies: [],
  handleSignals: false,
})
const openMs = performance.now() - begunMs
const address = join(dirname(path), `.${basename(path)}-kvar`, 'keeper.json')
const keeperId = JSON.parse(readFileSync(address, 'utf8')).processId
console.log(JSON.stringify({ openMs, keeperId, restored: persistence.restored }))
process.stdin.resume()
process.stdin.once('end', () => void persistence.close())
