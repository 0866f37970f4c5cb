import { openLog, productModule } from './product.mjs'

/*
 * A snapshot of the newest version, made from the log itself: restored, checked, encoded, stored.
 *   node snapshot.mjs TARGET-FOLDER SCRATCH-FILE
 */

const [targetPath = '', scratchPath = ''] = process.argv.slice(2)
const { platform, target, log } = await openLog(targetPath)
const { snapshotFromLog } = await productModule('log/snapshot')
const head = await log.findHead()
await snapshotFromLog({ log, version: head.version, platform, scratchPath })
await target.close()
