// Goal: the target in memory that the log's tests rest on is no easier than a real one. Method: the
// same contract suite.

import { MemoryTarget } from '../support/memory-target.ts'
import { describeTargetContract } from './target-contract.ts'

describeTargetContract('memory', async () => ({ target: new MemoryTarget(), dispose: async () => {} }))
