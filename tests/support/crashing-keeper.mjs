// A keeper that kills itself at one exact moment of storing a version.
//   node crashing-keeper.mjs DATABASE before-put|after-put|before-note VERSION
// before-put: nothing is on the ledger yet · after-put: the object is there, nobody knows ·
// before-note: the page table is noted, the memory is not.
import { ltxName } from '../../packages/kvar/src/formats/ltx.ts'
import { KeeperProcess } from '../../packages/kvar/src/keeper/keeper-process.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'

const [databasePath, moment, version] = process.argv.slice(2)
const object = `/ltx/0/${ltxName(Number(version), Number(version))}`
const die = () => process.kill(process.pid, 'SIGKILL')
let stored = false

const files = {
  ...systemPlatform.files,
  async link(from, to) {
    if (!to.endsWith(object)) return systemPlatform.files.link(from, to)
    if (moment === 'before-put') die()
    const answer = await systemPlatform.files.link(from, to)
    stored = true
    if (moment === 'after-put') die()
    return answer
  },
  openSync(path, mode) {
    const file = systemPlatform.files.openSync(path, mode)
    if (!path.endsWith('notes.bin')) return file
    const write = file.writeSync.bind(file)
    file.writeSync = (bytes, offset) => (stored ? die() : write(bytes, offset))
    return file
  },
}

const opened = await KeeperProcess.open(
  databasePath,
  { ...systemPlatform, files },
  { log: (sentence) => process.stderr.write(`${sentence}\n`), exit: (code) => process.exit(code) },
)
if (opened === undefined) process.exit(11)
