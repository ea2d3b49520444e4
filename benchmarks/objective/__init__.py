"""Does what recalibration lowers track J on prompts it never saw?"""
